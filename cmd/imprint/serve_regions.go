package main

import (
	"context"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/imprint/serve"
	"github.com/imprintkit/imprint/imprint/serve/act"
	"github.com/imprintkit/imprint/imprint/serve/region"
)

// maxRegionRate is the largest value of --region-rate.
const maxRegionRate = 1000

// A regionActor acts on the states of regions.
type regionActor interface {
	Put(region.State)
	Run(ctx context.Context)
}

// regionActors reads the regions from the flags into o, and returns what acts on their states.
func regionActors(c *cli.Context, o *serve.Options) (actors []regionActor, err error) {
	for _, s := range c.StringSlice("region") {
		r, err := region.Parse(s)
		if err != nil {
			return nil, usageError{err}
		}
		o.Regions = append(o.Regions, r)
	}
	if o.RegionRate = c.Float64("region-rate"); !(o.RegionRate > 0 && o.RegionRate <= maxRegionRate) {
		return nil, usagef("--region-rate %v: want more than 0, at most %d", o.RegionRate, maxRegionRate)
	}
	for _, s := range c.StringSlice("on") {
		a, err := act.NewCommand(s, o.Log)
		if err != nil {
			return nil, usageError{err}
		}
		actors = append(actors, a)
	}
	for _, s := range c.StringSlice("webhook") {
		a, err := act.NewWebhook(s, o.Log)
		if err != nil {
			return nil, usageError{err}
		}
		actors = append(actors, a)
	}
	o.OnState = func(s region.State) {
		for _, a := range actors {
			a.Put(s)
		}
	}
	return actors, nil
}

// warnWithoutRegion warns if states are acted on, but the server has no regions.
func warnWithoutRegion(c *cli.Context, server *serve.Server, acted bool) {
	if list, _ := server.Regions(); acted && len(list.Regions) == 0 {
		warn(c, "no region to act on; --region picture=0,0,1,1 is the whole picture")
	}
}
