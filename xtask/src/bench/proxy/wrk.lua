-- What wrk sends, and what it says at the end.
--
-- `users`: GET by a thousand users in turn, told apart by a header.
-- `mixed`: GET and POST in turn.

local requests = {}
local turn = 0

function init(args)
  if args[1] == "mixed" then
    requests[1] = wrk.format("GET")
    requests[2] = wrk.format("POST", nil, { ["Content-Type"] = "text/plain" }, string.rep("a", 512))
  else
    for user = 1, 1000 do
      requests[user] = wrk.format("GET", nil, { ["X-User"] = "user-" .. user })
    end
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format(
    '{"answers":%d,"micros":%d,"p99_micros":%d,"failed":%d}\n',
    summary.requests, summary.duration, latency:percentile(99), failed
  ))
end
