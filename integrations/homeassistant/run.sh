#!/usr/bin/with-contenv bashio
# Starts imprint serve with the add-on's options. /data survives updates.
set -e
export XDG_CACHE_HOME=/data/cache IMPRINT_WORKSPACE=/data/workspace
if [ ! -e "$XDG_CACHE_HOME/imprint" ]; then
	imprint models pull firmware || bashio::log.warning "no firmware for the Edge TPU: imprint uses the CPU"
fi
set -- serve --listen 0.0.0.0:8230 --source "$(bashio::config source)"
if bashio::config.has_value token; then
	set -- "$@" --token "$(bashio::config token)"
fi
exec imprint "$@"
