// Command edge stands in for Cloudflare's edge on one machine. Real cloudflared (with --protocol http2) connects to it,
// registers, and what is asked of the front port travels through that tunnel, with the headers the real edge adds.
//
// The control port bends it while it runs:
//
//	GET  /                     {"connections": 2, "registrations": 2}
//	POST /refuse?on=true       answer no further registration with yes
//	POST /drop                 cut every connection, now
//	POST /delay?for=250ms      let every request wait so long
package main

import (
	"encoding/json"
	"flag"
	"log"
	"net"
	"net/http"
	"time"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "where cloudflared connects")
	front := flag.String("front", "127.0.0.1:0", "where visitors connect")
	control := flag.String("control", "127.0.0.1:0", "where tests bend it")
	ca := flag.String("ca", "edge-ca.pem", "certificate for cloudflared's --cacert; kept, with its key, for the next start")
	idle := flag.Duration("idle", 100*time.Second, "silence after which an answer is given up (524 before its head)")
	flag.Parse()
	log.SetFlags(log.Lmicroseconds)

	certificate, err := keptOrNew(*ca)
	if err != nil {
		log.Fatal(err)
	}
	edge := &edge{idle: *idle}
	fails := make(chan error)
	tunnels, visitors, bending := open(*listen), open(*front), open(*control)
	go func() { fails <- edge.acceptTunnels(tunnels, certificate) }()
	go func() { fails <- http.Serve(visitors, edge) }()
	go func() { fails <- http.Serve(bending, edge.control()) }()
	log.Printf("edge is up: tunnels %s, front %s, control %s", tunnels.Addr(), visitors.Addr(), bending.Addr())
	log.Fatal(<-fails)
}

func open(address string) net.Listener {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		log.Fatal(err)
	}
	return listener
}

// control answers on the control port.
func (e *edge) control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		e.mu.Lock()
		defer e.mu.Unlock()
		json.NewEncoder(w).Encode(map[string]int{"connections": len(e.tunnels), "registrations": e.registrations})
	})
	mux.HandleFunc("POST /refuse", func(_ http.ResponseWriter, r *http.Request) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.refusing = r.FormValue("on") == "true"
	})
	mux.HandleFunc("POST /drop", func(http.ResponseWriter, *http.Request) {
		e.mu.Lock()
		defer e.mu.Unlock()
		for _, tunnel := range e.tunnels {
			tunnel.wire.Close()
		}
	})
	mux.HandleFunc("POST /delay", func(w http.ResponseWriter, r *http.Request) {
		pause, err := time.ParseDuration(r.FormValue("for"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		e.delay = pause
	})
	return mux
}
