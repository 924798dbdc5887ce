-- A small chat request for wrk, and its result as one line of JSON (the last of the output; times in µs and s).
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"model":"bench","messages":[{"role":"user","content":"Why is the sky blue?"}]}'

function done(summary, latency, requests)
  local e = summary.errors
  print(string.format('{"requests": %d, "seconds": %.6f, "p50": %.1f, "errors": %d}', summary.requests,
    summary.duration / 1e6, latency:percentile(50), e.connect + e.read + e.write + e.status + e.timeout))
end
