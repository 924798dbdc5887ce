package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/cloudflare/cloudflared/connection"
)

const (
	visitorHeader      = "Lab-Client-IP" // a test says with it who the visitor is; the tunnel never sees it
	internalPrefix     = "Cf-Cloudflared-"
	statusNoTunnel     = 530
	statusTunnelFailed = http.StatusBadGateway
	statusTooSlow      = 524
)

// ServeHTTP is the front: one visitor's request, through the tunnel and back.
func (e *edge) ServeHTTP(w http.ResponseWriter, visit *http.Request) {
	tunnel, delay := e.pick()
	select {
	case <-time.After(delay):
	case <-visit.Context().Done():
		return
	}
	if tunnel == nil {
		fail(w, statusNoTunnel)
		return
	}
	ctx, giveUp := context.WithCancel(visit.Context())
	defer giveUp()
	silence := time.AfterFunc(e.idle, giveUp)
	defer silence.Stop()
	answer, err := tunnel.http.RoundTrip(forwarded(ctx, visit))
	if err != nil {
		if ctx.Err() != nil && visit.Context().Err() == nil {
			fail(w, statusTooSlow)
		} else {
			fail(w, statusTunnelFailed)
		}
		return
	}
	defer answer.Body.Close()
	copyHeader(w.Header(), answer.Header)
	w.WriteHeader(answer.StatusCode)
	relay(w, answer.Body, func() { silence.Reset(e.idle) })
}

func fail(w http.ResponseWriter, status int) {
	http.Error(w, fmt.Sprintf("error code: %d", status), status)
}

// forwarded is the visitor's request as the edge passes it on.
func forwarded(ctx context.Context, visit *http.Request) *http.Request {
	request := visit.Clone(ctx)
	request.RequestURI = ""
	request.URL.Scheme, request.URL.Host = "https", visit.Host
	visitor, _, _ := net.SplitHostPort(visit.RemoteAddr)
	if said := visit.Header.Get(visitorHeader); said != "" {
		visitor = said
	}
	chain := visitor
	if before := visit.Header.Get("X-Forwarded-For"); before != "" {
		chain = before + ", " + visitor
	}
	header := request.Header
	header.Del(visitorHeader)
	header.Set("Cf-Connecting-Ip", visitor)
	header.Set("X-Forwarded-For", chain)
	header.Set("X-Forwarded-Proto", "https")
	header.Set("Cf-Visitor", `{"scheme":"https"}`)
	header.Set("Cf-Ray", fmt.Sprintf("%x-HERE", time.Now().UnixNano()))
	header.Set("Accept-Encoding", "gzip, br")
	return request
}

// copyHeader unpacks the origin's own headers, which cloudflared sends as one, and leaves its internal ones out.
func copyHeader(to, from http.Header) {
	origins, err := connection.DeserializeHeaders(from.Get(connection.ResponseUserHeaders))
	if err == nil {
		for _, header := range origins {
			to.Add(header.Name, header.Value)
		}
	}
	for name, values := range from {
		if !strings.HasPrefix(name, internalPrefix) && to.Get(name) == "" {
			to[name] = values
		}
	}
}

// relay copies an answer as it comes. One that breaks off breaks off for the visitor too.
func relay(w http.ResponseWriter, body io.Reader, heard func()) {
	flusher := http.NewResponseController(w)
	buffer := make([]byte, 64<<10)
	for {
		n, err := body.Read(buffer)
		heard()
		if n > 0 {
			if _, gone := w.Write(buffer[:n]); gone != nil {
				return
			}
			flusher.Flush()
		}
		if err == io.EOF {
			return
		}
		if err != nil {
			panic(http.ErrAbortHandler)
		}
	}
}
