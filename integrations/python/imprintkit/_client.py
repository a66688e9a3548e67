"""A client for a running "imprint serve"."""

import contextlib
import http.client
import json
import os
import socket
import ssl
import threading
import urllib.parse
import uuid
from typing import Any, Dict, Iterable, Iterator, List, Optional, Tuple, Union

from . import _photo
from ._photo import Photo
from .errors import BadArgumentError, ServerError


class _UnixConnection(http.client.HTTPConnection):
    """A connection over a Unix socket."""

    def __init__(self, path: str, timeout: Optional[float]) -> None:
        super().__init__('imprint', timeout=timeout)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Client:
    """A client for a running "imprint serve".

    address is a URL such as 'http://127.0.0.1:8230', or the path of the server's Unix socket. The server listens on
    127.0.0.1:8230 and on the socket serve.sock in its workspace. A token is needed on other addresses. For https, behind a
    reverse proxy, context may have its certificate. timeout is in seconds.

    Requests are described by the server's /v1/openapi.json, and the answers are the dicts that it describes. Methods raise
    ServerError if the server refuses a request or can't be reached. A client may be used by several threads.
    """

    def __init__(self, address: Union[str, 'os.PathLike[str]'] = 'http://127.0.0.1:8230', *, token: Optional[str] = None,
                 timeout: Optional[float] = 60, context: Optional[ssl.SSLContext] = None) -> None:
        self._address, self._timeout, self._context = os.fspath(address), timeout, context
        self._url = urllib.parse.urlsplit(self._address)
        if '://' in self._address and (self._url.scheme not in ('http', 'https') or not self._url.hostname):
            raise BadArgumentError(f'"{address}" is neither a URL with http or https nor the path of a socket')
        self._headers = {'Authorization': 'Bearer ' + token} if token else {}
        self._local = threading.local()  # each thread has its own connection

    def __enter__(self) -> 'Client':
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection of this thread. The next request opens another."""
        connection = self._local.__dict__.pop('connection', None)
        if connection is not None:
            connection.close()

    # Classification.

    def classify(self, photo: Photo) -> Dict[str, Any]:
        """Classify a photo. The answer has label, score, unknown, top and more; check unknown before you use label."""
        return self._json('POST', '/v1/classify', _photo.encode(photo))

    def frame(self, photo: Photo) -> Dict[str, Any]:
        """Send a frame of a camera to a server without one, and return its classification."""
        return self._json('POST', '/v1/frames', _photo.encode(photo))

    def result(self, after: Optional[int] = None, wait: float = 0) -> Optional[Dict[str, Any]]:
        """Return the classification of the newest frame.

        With after, wait up to wait seconds (30 at most) for a frame with a higher number, and return None if there is none.
        """
        query = {} if after is None else {'after': after, 'wait': int(wait * 1000)}
        return self._json('GET', '/v1/result', query=query)

    def results(self) -> Iterator[Dict[str, Any]]:
        """Yield the classification of each frame, as it arrives. It never ends; a slow reader gets only the newest."""
        for _, data in self.events('result'):
            yield data

    def events(self, *kinds: str) -> Iterator[Tuple[str, Dict[str, Any]]]:
        """Yield events as pairs of kind and data.

        The kinds are result, classes, teach, generation, state and notice; without arguments, all. The stream ends with a
        ServerError if the server stops.
        """
        path = '/v1/events' + ('?kinds=' + ','.join(kinds) if kinds else '')
        with contextlib.closing(self._connection()) as connection:
            with self._explained():
                answer = self._send(connection, 'GET', path, None, {})
                self._check(answer.status, b'' if answer.status == 200 else answer.read())
                if connection.sock is not None:
                    connection.sock.settimeout(None)  # no frame may arrive for hours
            kind = ''
            while True:
                with self._explained():
                    line = answer.readline()
                if not line:
                    raise ServerError(f'imprint serve at {self._address} has closed the stream of events')
                name, _, value = line.decode().rstrip('\r\n').partition(': ')
                if name == 'event':
                    kind = value
                elif name == 'data':  # the server sends the data of an event in one line
                    yield kind, json.loads(value)

    def frame_jpeg(self) -> bytes:
        """Return the newest frame as the camera sent it."""
        return self._request('GET', '/v1/frame.jpg')[1]

    # Classes.

    def classes(self) -> Dict[str, Any]:
        """Return the classes with their photos, and the accuracy on photos left out."""
        return self._json('GET', '/v1/classes')

    def labels(self) -> List[str]:
        """Return the classes in the order of the model's scores."""
        text = self._request('GET', '/v1/labels')[1].decode()
        return [line.split(None, 1)[1] for line in text.split('\n') if line]

    def add(self, label: str, photos: Union[Photo, Iterable[Photo]]) -> Dict[str, Any]:
        """Add a photo, or up to 100 of together 16 MiB in one change, to a class. Those that can't be read are skipped."""
        encoded = [_photo.encode(p) for p in _photo.several(photos)]
        boundary = uuid.uuid4().hex
        parts = [b'--%s\r\nContent-Disposition: form-data; name="photo"; filename="photo"\r\n\r\n%s\r\n' % (boundary.encode(), e)
                 for e in encoded]
        body = b''.join(parts) + b'--%s--\r\n' % boundary.encode()
        return self._json('POST', '/v1/examples', body, query={'label': label},
                          content_type='multipart/form-data; boundary=' + boundary)

    def remove(self, label: str) -> Dict[str, Any]:
        """Remove a class."""
        return self._json('DELETE', '/v1/classes/' + urllib.parse.quote(label, safe=''))

    def rename(self, label: str, to: str) -> Dict[str, Any]:
        """Rename a class."""
        return self._json('PATCH', '/v1/classes/' + urllib.parse.quote(label, safe=''), {'label': to})

    def remove_photo(self, sha256: str) -> Dict[str, Any]:
        """Remove the training photo with that SHA-256, which classes() lists."""
        return self._json('DELETE', '/v1/examples/' + sha256)

    def thumbnail(self, sha256: str) -> bytes:
        """Return a training photo as a JPEG, 160 pixels wide."""
        return self._request('GET', f'/v1/examples/{sha256}/thumbnail.jpg')[1]

    def teach(self, action: str, label: Optional[str] = None) -> Dict[str, Any]:
        """Press or release a training button: 'start', which needs a label, 'stop', which trains, or 'cancel'."""
        return self._json('POST', '/v1/teach', {'action': action, **({'label': label} if label is not None else {})})

    @contextlib.contextmanager
    def teaching(self, label: str) -> Iterator[Dict[str, Any]]:
        """Train a class with the frames that arrive inside a with block. After the block, the dict has the outcome.

        If the block raises an exception, no class is trained.
        """
        outcome = self.teach('start', label)
        try:
            yield outcome
        except BaseException:
            self.teach('cancel', label)
            raise
        outcome.update(self.teach('stop', label))

    def undo(self) -> Dict[str, Any]:
        """Undo the last change."""
        return self._json('POST', '/v1/undo')

    def retrain(self, head: Optional[str] = None, unknown: Optional[float] = None) -> Dict[str, Any]:
        """Train the last layer again, from now on with another head or another rate of false accepts."""
        settings = {'head': head, 'unknown': unknown}
        return self._json('POST', '/v1/retrain', {k: v for k, v in settings.items() if v is not None})

    # The server.

    def reload(self) -> Dict[str, Any]:
        """Reload the workspace, which another process has changed."""
        return self._json('POST', '/v1/reload')

    def health(self) -> Dict[str, Any]:
        """Return the state of the server, its camera and its device, even if the device is down."""
        status, body = self._request('GET', '/v1/health', accept=(503,))
        health = json.loads(body)
        if status == 503 and 'status' not in health:
            self._check(status, body)
        return health

    def model(self) -> bytes:
        """Return the model, a TensorFlow Lite file that includes the labels."""
        return self._request('GET', '/v1/model')[1]

    def metrics(self) -> str:
        """Return the metrics in Prometheus' text format."""
        return self._request('GET', '/v1/metrics')[1].decode()

    # Requests.

    def _json(self, method: str, path: str, body: Union[bytes, Dict[str, Any], None] = None, **more: Any) -> Any:
        status, answer = self._request(method, path, body, **more)
        return None if status == 204 else json.loads(answer)

    def _request(self, method: str, path: str, body: Union[bytes, Dict[str, Any], None] = None, *,
                 query: Optional[Dict[str, Any]] = None, content_type: str = 'application/octet-stream',
                 accept: Tuple[int, ...] = ()) -> Tuple[int, bytes]:
        if isinstance(body, dict):
            body, content_type = json.dumps(body).encode(), 'application/json'
        if query:
            path += '?' + urllib.parse.urlencode(query, quote_via=urllib.parse.quote)
        headers = {} if body is None else {'Content-Type': content_type}
        # A change must not be sent again over a connection that the server may have closed, because it might be made twice.
        if method != 'GET' and path not in ('/v1/classify', '/v1/frames'):
            self.close()
        reused = 'connection' in self._local.__dict__
        if not reused:
            self._local.connection = self._connection()
        try:
            with self._explained():
                answer = self._send(self._local.connection, method, path, body, headers)
                status, content = answer.status, answer.read()
        except ServerError as e:
            self.close()
            if not reused or isinstance(e.__cause__, socket.timeout):
                raise
            return self._request(method, path, body, content_type=content_type, accept=accept)
        if status not in accept:
            self._check(status, content)
        return status, content

    def _connection(self) -> http.client.HTTPConnection:
        if '://' not in self._address:
            return _UnixConnection(self._address, self._timeout)
        if self._url.scheme == 'https':
            return http.client.HTTPSConnection(self._url.netloc.rpartition('@')[2], timeout=self._timeout, context=self._context)
        return http.client.HTTPConnection(self._url.netloc.rpartition('@')[2], timeout=self._timeout)

    def _send(self, connection: http.client.HTTPConnection, method: str, path: str, body: Optional[bytes],
              headers: Dict[str, str]) -> http.client.HTTPResponse:
        if '://' in self._address:
            path = self._url.path.rstrip('/') + path
        connection.request(method, path, body, {**self._headers, **headers})
        return connection.getresponse()

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn errors of the connection into ServerError."""
        try:
            yield
        except (OSError, http.client.HTTPException) as e:
            raise ServerError(f'no answer from imprint serve at {self._address}: {e or type(e).__name__}',
                              'start the server with: imprint serve') from e

    def _check(self, status: int, content: bytes) -> None:
        """Raise the error that the server sent, if it did."""
        if status < 400:
            return
        try:
            problem = json.loads(content)
            raise ServerError(problem['error'], problem.get('hint', ''), status)
        except (ValueError, KeyError, TypeError):
            raise ServerError(f'the server at {self._address} answered with status {status}', '', status) from None
