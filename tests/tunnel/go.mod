// The tests' tunnel: real cloudflared, and a stand-in for the edge it connects to. Built by `python -m tests.tunnel`,
// which takes go.sum from cloudflared's own module: a replaced module has no entry in the public checksum database.
module seadragon.local/tunnel

go 1.26

require github.com/cloudflare/cloudflared v0.0.0-20260814112252-733bfb939963 // release 2026.8.1

// cloudflared's own; a dependency's replacements do not count, so they are repeated.
replace (
	github.com/quic-go/quic-go => github.com/chungthuang/quic-go v0.45.1-0.20260529212404-a9fddf436fc4
	github.com/urfave/cli/v2 => github.com/ipostelnik/cli/v2 v2.3.1-0.20210324024421-b6ea8234fe3d
	gopkg.in/yaml.v3 => gopkg.in/yaml.v3 v3.0.1
)
