// Go's HTTP/2 as a peer, over TLS: `client ADDRESS CA` asks a server on port 8443, and
// `server ADDRESS CERT KEY` answers on port 8443.
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

var megabyte = bytes.Repeat([]byte("abcdefghijklmnopqrstuvwxyz"), 1<<20/26)

func check(err error) {
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
}

func read(response *http.Response, err error) string {
	check(err)
	body, err := io.ReadAll(response.Body)
	check(err)
	response.Body.Close()
	return string(body)
}

func client(address, authority string) {
	pem, err := os.ReadFile(authority)
	check(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, address+":8443")
	}
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots}, DialContext: dial, ForceAttemptHTTP2: true,
	}
	c := &http.Client{Transport: transport}
	const url = "https://soil.test:8443"
	response, err := c.Get(url + "/pieces")
	fmt.Println(response.Proto, strings.TrimSpace(read(response, err)))
	var wait sync.WaitGroup
	right := make(chan bool, 200)
	for i := 0; i < 200; i++ {
		wait.Add(1)
		go func(i int) {
			defer wait.Done()
			response, err := c.Get(fmt.Sprintf("%s/page/%d", url, i))
			right <- read(response, err) == fmt.Sprintf("/page/%d\n", i)
		}(i)
	}
	wait.Wait()
	count := 0
	for i := 0; i < 200; i++ {
		if <-right {
			count++
		}
	}
	fmt.Println("at once:", count)
	response, err = c.Post(url+"/capitals", "text/plain", bytes.NewReader(megabyte))
	fmt.Println("a megabyte:", read(response, err) == strings.ToUpper(string(megabyte)))
	response, err = c.Get(url + "/trailers")
	fmt.Println("trailers:", strings.TrimSpace(read(response, err)), response.Trailer.Get("sum"))
	// The stream is reset; the connection goes on.
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, "GET", url+"/hang", nil)
	check(err)
	_, err = c.Do(request)
	fmt.Println("cancelled:", err != nil)
	response, err = c.Get(url + "/after")
	fmt.Println(response.Proto, strings.TrimSpace(read(response, err)))
}

func server(address, certificate, key string) {
	http.HandleFunc("/page/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, r.Proto, r.URL.Path)
	})
	http.HandleFunc("/capitals", func(w http.ResponseWriter, r *http.Request) {
		piece := make([]byte, 10000)
		for {
			n, err := r.Body.Read(piece)
			w.Write(bytes.ToUpper(piece[:n]))
			if err != nil {
				return
			}
		}
	})
	http.HandleFunc("/trailers", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "Sum")
		fmt.Fprintln(w, "one two")
		w.Header().Set("Sum", "3")
	})
	http.HandleFunc("/reset", func(w http.ResponseWriter, r *http.Request) {
		panic(http.ErrAbortHandler)
	})
	fmt.Println("ready")
	check(http.ListenAndServeTLS(address+":8443", certificate, key, nil))
}

func main() {
	if os.Args[1] == "client" {
		client(os.Args[2], os.Args[3])
	} else {
		server(os.Args[2], os.Args[3], os.Args[4])
	}
}
