package serve_test

import (
	"context"
	"fmt"
	"net/http"
	"os"

	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/serve"
)

func Example() {
	dir, err := os.MkdirTemp("", "workspace")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	server, err := serve.Open(ctx, dir, imprint.Options{}, serve.Options{}) // clients post frames
	if err != nil {
		fmt.Println(err)
		return
	}
	listener, err := serve.ListenTCP("127.0.0.1:0", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	done := make(chan error)
	go func() { done <- server.Run(ctx, listener) }()

	resp, err := http.Get(listener.URL() + "v1/health")
	if err != nil {
		fmt.Println(err)
		return
	}
	resp.Body.Close()
	fmt.Println(resp.Status)

	stop()
	fmt.Println(<-done)
	// Output:
	// 200 OK
	// <nil>
}
