-- wrk's side: one prepared chat request, sent again and again, and the figures of the run as one line of JSON.
-- Arguments: the file with the body, the path.
function init(arguments)
    local file = assert(io.open(arguments[1], "rb"))
    local body = file:read("*a")
    file:close()
    local headers = { ["Content-Type"] = "application/json", ["Authorization"] = "Bearer sk-perf", ["Host"] = "perf.test" }
    prepared = wrk.format("POST", arguments[2], headers, body)
end

function request()
    return prepared
end

function done(summary, latency, requests)
    io.write(string.format(
        'FIGURES {"requests": %d, "seconds": %f, "p50_us": %d, "p90_us": %d, "p99_us": %d, "max_us": %d, "status_errors": %d, "socket_errors": %d}\n',
        summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(90), latency:percentile(99), latency.max,
        summary.errors.status, summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout))
end
