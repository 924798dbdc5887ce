"""A tunnel without the internet: real cloudflared, connected to a stand-in for Cloudflare's edge on this machine."""
