package main

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/cloudflare/cloudflared/connection"
	"github.com/cloudflare/cloudflared/tunnelrpc"
	"github.com/cloudflare/cloudflared/tunnelrpc/pogs"
	"github.com/google/uuid"
	"golang.org/x/net/http2"
)

// edge is the state all three ports share.
type edge struct {
	idle time.Duration

	mu            sync.Mutex
	tunnels       []*tunnel // registered, oldest first
	registrations int
	refusing      bool
	delay         time.Duration
}

// tunnel is one connection from cloudflared. HTTP/2 runs on it the other way round: who dialled answers the requests.
type tunnel struct {
	wire net.Conn
	http *http2.ClientConn
}

func (e *edge) acceptTunnels(listener net.Listener, certificate tls.Certificate) error {
	secure := tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{certificate}})
	for {
		wire, err := secure.Accept()
		if err != nil {
			return err
		}
		go e.keep(wire)
	}
}

// keep holds one connection until it ends. Its first request opens the control stream, over which cloudflared calls
// RegisterConnection; only then does it carry visitors.
func (e *edge) keep(wire net.Conn) {
	defer wire.Close()
	client, err := new(http2.Transport).NewClientConn(wire)
	if err != nil {
		log.Printf("no HTTP/2: %v", err)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	fromEdge, toTunnel := io.Pipe()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://edge.local/", fromEdge)
	if err != nil {
		log.Fatal(err)
	}
	request.Header.Set(connection.InternalUpgradeHeader, connection.ControlStreamUpgrade)
	answer, err := client.RoundTrip(request)
	if err != nil {
		log.Printf("no control stream: %v", err)
		return
	}
	this := &tunnel{wire: wire, http: client}
	defer e.remove(this)
	registrar := tunnelrpc.NewRegistrationServer(registrar{e, this})
	err = registrar.Serve(ctx, controlStream{answer.Body, toTunnel})
	log.Printf("connection is over: %v", err)
}

func (e *edge) remove(gone *tunnel) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tunnels = slices.DeleteFunc(e.tunnels, func(t *tunnel) bool { return t == gone })
}

// pick chooses the tunnel for one request, or nil, and tells how long the request must wait first.
func (e *edge) pick() (*tunnel, time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, t := range e.tunnels {
		if t.http.CanTakeNewRequest() {
			return t, e.delay
		}
	}
	return nil, e.delay
}

// controlStream joins both halves of the control stream into what the RPC server reads and writes.
type controlStream struct {
	io.ReadCloser
	toTunnel io.WriteCloser
}

func (s controlStream) Write(data []byte) (int, error) { return s.toTunnel.Write(data) }
func (s controlStream) Close() error                   { return errors.Join(s.toTunnel.Close(), s.ReadCloser.Close()) }

// registrar answers the calls of one tunnel.
type registrar struct {
	edge *edge
	this *tunnel
}

func (r registrar) RegisterConnection(
	_ context.Context, _ pogs.TunnelAuth, id uuid.UUID, index byte, options *pogs.ConnectionOptions,
) (*pogs.ConnectionDetails, error) {
	r.edge.mu.Lock()
	defer r.edge.mu.Unlock()
	if r.edge.refusing {
		return nil, pogs.RetryErrorAfter(errors.New("this edge refuses registrations"), time.Second)
	}
	log.Printf("registered: tunnel %s, connection %d, cloudflared %s", id, index, options.Client.Version)
	r.edge.registrations++
	r.edge.tunnels = append(r.edge.tunnels, r.this)
	return &pogs.ConnectionDetails{UUID: uuid.New(), Location: "here01"}, nil
}

func (r registrar) UnregisterConnection(context.Context)                   { r.edge.remove(r.this) }
func (r registrar) UpdateLocalConfiguration(context.Context, []byte) error { return nil }
