-- What wrk runs for `load.py`: wrk … URL -- FOLDER COUNT
-- FOLDER holds requests as they go over the wire, named 1, 2, …; each connection's next one is the next in turn.

local function read(path)
   local file = assert(io.open(path, "rb"))
   local content = file:read("*a")
   file:close()
   return content
end

function init(arguments)
   local folder, count = arguments[1], tonumber(arguments[2])
   local requests = {}
   for number = 1, count do
      requests[number] = read(folder .. "/" .. number)
   end
   local turn = 0
   -- wrk takes a defined `request` as a sign to ask for each one; one that never changes is asked for once.
   if count > 1 then
      function request()
         turn = turn % count + 1
         return requests[turn]
      end
   else
      wrk.format = function() return requests[1] end
   end
end

function done(summary, latency, requests)
   local errors = summary.errors
   io.write(string.format(
      '\n@@{"requests":%d,"seconds":%.6f,"bytes":%d,"p50":%.3f,"p90":%.3f,"p99":%.3f,"longest":%.3f,' ..
      '"refused":%d,"broken":%d,"late":%d}\n',
      summary.requests, summary.duration / 1e6, summary.bytes,
      latency:percentile(50) / 1e3, latency:percentile(90) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3,
      errors.status, errors.connect + errors.read + errors.write, errors.timeout))
end
