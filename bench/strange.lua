-- Counts the answers of a warm-up that are no 2xx or have no body, around the script that asks for another person each time.
local inner = [==[@INNER@]==]
if inner ~= "" then dofile(inner) end

local innerSetup, innerResponse, innerDone = setup, response, done
local threads = {}
strange, example = 0, ""

function setup(thread)
  table.insert(threads, thread)
  if innerSetup then innerSetup(thread) end
end

function response(status, headers, body)
  if status < 200 or status > 299 or body == "" then
    strange = strange + 1
    if example == "" then example = status .. " " .. body:sub(1, 300):gsub("%s+", " ") end
  end
  if innerResponse then innerResponse(status, headers, body) end
end

function done(summary, latency, requests)
  if innerDone then innerDone(summary, latency, requests) end
  local total, shown = 0, ""
  for _, thread in ipairs(threads) do
    total = total + thread:get("strange")
    if shown == "" then shown = thread:get("example") end
  end
  print("strange answers: " .. total .. " " .. shown)
end
