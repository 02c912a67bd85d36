-- Asks the authorization service about each request and does as it says. Before it stand the sidecar's settings:
-- KEY, by which the authorization service knows the sidecar, and LISTENER, which of the sidecar's listeners this is.
--
-- A request passes only when this script has marked it, in metadata that no app can write; a filter behind this one
-- refuses every other. So nothing passes when the script fails, whatever it fails of.
--
-- Each of Envoy's threads has a Lua state of its own, and so a cache of its own.

local TIMEOUT_MS = 5000
local FRESH_MS = 1000          -- a kept decision needs an answer, about whatever, that is no older
local RECORD_EVERY_MS = 100
local MAX_ENTRIES = 1000       -- of each of two generations
local MAX_BYTES = 4 * 1024 * 1024
local MAX_KEY_BYTES = 64 * 1024

local concat, find, format, sub, match = table.concat, string.find, string.format, string.sub, string.match

-- Numbers as they are written, since making that text anew takes longer than anything else here.
local digits = {}
for number = 0, 2048 do digits[number] = tostring(number) end

local young, young_count, young_bytes = {}, 0, 0
local old = {}
local dirty, dirty_count, records_due = {}, 0, 0
local epoch = 0
local answered_at = nil

local function now(handle)
  return tonumber(handle:timestamp(EnvoyTimestampResolution.MILLISECOND))
end

-- Kept decisions

local function forget_all()
  young, young_count, young_bytes, old = {}, 0, 0, {}
end

local function keep(key, entry)
  if young[key] == nil then
    if young_count >= MAX_ENTRIES or young_bytes + #key + entry.bytes > MAX_BYTES then
      old, young, young_count, young_bytes = young, {}, 0, 0
    end
    young_count, young_bytes = young_count + 1, young_bytes + #key + entry.bytes
  end
  young[key] = entry
end

local function kept(key, time)
  local entry = young[key]
  if entry == nil then
    entry = old[key]
    if entry == nil then return nil end
    old[key] = nil
    keep(key, entry)
  end
  -- A clock that was set back makes nothing last longer.
  if entry.epoch ~= epoch or time >= entry.expires or time < entry.made then return nil end
  return entry
end

-- What Envoy itself makes, and what follows from the rest.
local function is_left_out(name)
  return name == "x-request-id" or name == "content-length" or sub(name, 1, 12) == "x-forwarded-"
end

-- The trace of a proper `traceparent`; nil for any other.
local function trace_of(value)
  if #value ~= 55 then return nil end
  local trace, parent = match(value, "^00%-([0-9a-f]+)%-([0-9a-f]+)%-[0-9a-f][0-9a-f]$")
  if trace and #trace == 32 and #parent == 16 and find(trace, "[1-9a-f]") and find(parent, "[1-9a-f]") then
    return trace
  end
  return nil
end

-- The first whole number that is called "id": its first and last place. See JSONRPCIDLocation.
local function id_in(body)
  local first, last = find(body, '"id":[1-9][0-9]*[,}]')
  if first == nil or last - first - 5 > 15 then return nil end
  return first + 5, last - 1
end

-- Records of kept decisions that were used

local function send_records(handle, time)
  if dirty_count == 0 or time < records_due then return end
  local lines = {}
  for index = 1, dirty_count do
    local entry = dirty[index]
    lines[index] = format("%d %s", entry.used, entry.record)
    entry.used = 0
  end
  dirty, dirty_count = {}, 0
  handle:httpCall("authorization", {
    [":method"] = "POST", [":path"] = "/casa/records", [":authority"] = "authorization", ["x-casa-sidecar-key"] = KEY,
  }, concat(lines, "\n"), TIMEOUT_MS, true)
end

local function count_use(entry, time)
  if entry.used == 0 then
    if dirty_count == 0 then records_due = time + RECORD_EVERY_MS end
    dirty_count = dirty_count + 1
    dirty[dirty_count] = entry
  end
  entry.used = entry.used + 1
end

-- Acting on a verdict

local function admit(handle, entry)
  local headers = handle:headers()
  for index = 1, #entry.remove do headers:remove(entry.remove[index]) end
  for name, value in pairs(entry.set) do headers:replace(name, value) end
  if entry.set["x-casa-read-answer"] then handle:clearRouteCache() end
  local metadata = handle:streamInfo():dynamicMetadata()
  if entry.answer_token then metadata:set("envoy.filters.http.ext_authz", "answer_token", entry.answer_token) end
  if entry.offer then metadata:set("envoy.filters.http.ext_authz", "offer", entry.offer) end
  if entry.decision then metadata:set("envoy.filters.http.ext_authz", "decision", entry.decision) end
  -- The last thing of all: what went wrong before has left the request unmarked.
  metadata:set("casa", "admitted", "yes")
end

local function refuse(handle, answer, body)
  local headers = {[":status"] = "403", ["content-type"] = NO_ANSWER_TYPE}
  if answer then
    headers["content-type"] = answer["content-type"]
    headers["www-authenticate"] = answer["www-authenticate"]
    headers["x-casa-decision"] = answer["x-casa-decision"]
    headers["retry-after"] = answer["retry-after"]
  end
  handle:respond(headers, answer and body or NO_ANSWER)
end

local function admission_in(answer)
  local entry = {set = {}, remove = {}, used = 0, bytes = 0}
  for name, value in pairs(answer) do
    if sub(name, 1, 11) == "x-casa-set-" and #name > 11 then entry.set[sub(name, 12)] = value end
    entry.bytes = entry.bytes + #name + #value
  end
  for name in string.gmatch(answer["x-casa-remove"] or "", "[^, ]+") do entry.remove[#entry.remove + 1] = name end
  entry.answer_token, entry.offer = answer["x-casa-answer-token"], answer["x-casa-offer"]
  entry.decision = answer["x-casa-decision"]
  return entry
end

-- Whether the service says that the number at `first` to `last` is the request's id.
local function is_id(answer, first, last)
  local offset, length = tonumber(answer["x-casa-id-offset"]), tonumber(answer["x-casa-id-length"])
  return first ~= nil and offset == first - 1 and length == last - first + 1
end

-- The fields as they are compared: of one length each, so that no two requests are written alike. Of a proper
-- `traceparent` only the trace counts; a field as it was sent begins with a digit, so that none is taken for a trace.
local parts = {}
local function fields_of(handle)
  local count = 0
  for name, value in pairs(handle:headers()) do
    if not is_left_out(name) then
      local trace = name == "traceparent" and trace_of(value)
      if trace then
        parts[count + 1], parts[count + 2] = "^", trace
        count = count + 2
      else
        parts[count + 1], parts[count + 2], parts[count + 3] = digits[#name] or #name, ",", digits[#value] or #value
        parts[count + 4], parts[count + 5], parts[count + 6] = ":", name, value
        count = count + 6
      end
    end
  end
  return concat(parts, "", 1, count)
end

local function envelope_of(handle, body)
  local envelope = {}
  local count = 0
  for name, value in pairs(handle:headers()) do
    count = count + 1
    envelope[count] = #name .. "," .. #value .. ":" .. name .. value
  end
  envelope[count + 1], envelope[count + 2] = ";", body
  return concat(envelope)
end

local function decide(handle)
  local buffer = handle:body()
  local body = buffer and buffer:getBytes(0, buffer:length()) or ""
  local fields = fields_of(handle)
  local time = now(handle)
  send_records(handle, time)

  -- Of equal requests with other ids, and of quite equal ones. No key of one kind is one of the other.
  local with_any_id, exact
  local first, last = id_in(body)
  if #fields + #body <= MAX_KEY_BYTES then
    local is_fresh = answered_at and time >= answered_at and time - answered_at < FRESH_MS
    if first then with_any_id = "#" .. fields .. ";" .. sub(body, 1, first - 1) .. "#" .. sub(body, last + 1) end
    local entry = is_fresh and with_any_id and kept(with_any_id, time)
    if not entry then
      exact = "=" .. fields .. ";" .. body
      entry = is_fresh and kept(exact, time)
    end
    if entry then
      count_use(entry, time)
      return admit(handle, entry)
    end
  end

  local answer, answer_body = handle:httpCall("authorization", {
    [":method"] = "POST", [":path"] = "/casa/check", [":authority"] = "authorization",
    ["content-type"] = "application/vnd.casa.request", ["x-casa-sidecar-key"] = KEY, ["x-casa-listener"] = LISTENER,
  }, envelope_of(handle, body), TIMEOUT_MS)
  local answer_epoch = tonumber(answer["x-casa-epoch"])
  if answer[":status"] ~= "200" or answer_epoch == nil then return refuse(handle) end
  -- As old as the question is, since what was decided may be.
  if answered_at == nil or time > answered_at then answered_at = time end
  if answer_epoch > epoch then
    epoch = answer_epoch
    forget_all()
  end
  if answer["x-casa-verdict"] == "refuse" then return refuse(handle, answer, answer_body) end
  if answer["x-casa-verdict"] ~= "admit" then return refuse(handle) end

  local entry = admission_in(answer)
  local reuse = tonumber(answer["x-casa-reuse-ms"])
  entry.record = answer["x-casa-record"]
  if exact and reuse and reuse > 0 and entry.record and answer_epoch == epoch then
    entry.epoch, entry.made, entry.expires = epoch, time, time + reuse
    keep(with_any_id and is_id(answer, first, last) and with_any_id or exact, entry)
  end
  admit(handle, entry)
end

function envoy_on_request(handle)
  local done, problem = pcall(decide, handle)
  if not done then
    handle:logErr("casa: the script failed: " .. tostring(problem))
    refuse(handle)
  end
end
