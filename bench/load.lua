-- Upserts of Chroma's API, each of its own record: wrk -s load.lua URL -- PATH KEYS RECORDS SIZE FIRST
-- A record is 8 KB: 384 dimensions as float32 print, a text of 3.8 KB, two fields. RECORDS in one request: 1 is the
-- small body, 128 make 1 MB. Requests are made before the run; KEYS of them, sent in turn.
-- SIZE small: records of 1 KB, of 32 dimensions. FIRST: how many to pass over at first.
local requests, at = {}, 0

local function vector(seed, dimension)
  local state, numbers = seed, {}
  for i = 1, dimension do
    state = (state * 1103515245 + 12345) % 2147483648
    numbers[i] = string.format("%.8f", state / 2147483648 - 0.5)
  end
  return "[" .. table.concat(numbers, ",") .. "]"
end

function init(args)
  local path, keys, records, small = args[1], tonumber(args[2]), tonumber(args[3]), args[4] == "small"
  at = tonumber(args[5])
  local pool = {}
  for i = 1, 32 do pool[i] = vector(i * 7919, small and 32 or 384) end
  local text = string.rep("What an application stores beside its vectors. ", small and 11 or 81)
  for i = 1, keys do
    local ids, vectors, metadatas, documents = {}, {}, {}, {}
    for r = 1, records do
      ids[r] = string.format('"k%07d"', (i - 1) * records + r)
      vectors[r] = pool[(i + r) % 32 + 1]
      metadatas[r] = string.format('{"n":%d,"topic":"bench"}', i)
      documents[r] = string.format('"%d %s"', i, text)
    end
    local body = '{"ids":[' .. table.concat(ids, ",") .. '],"embeddings":[' .. table.concat(vectors, ",") ..
                 '],"metadatas":[' .. table.concat(metadatas, ",") .. '],"documents":[' .. table.concat(documents, ",") .. ']}'
    requests[i] = wrk.format("POST", path, { ["Content-Type"] = "application/json", ["Host"] = "127.0.0.1" }, body)
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function done(summary, latency, _)
  local e = summary.errors
  io.write(string.format('\nJSON {"requests": %d, "seconds": %.6f, "bad": %d, "p50": %.1f, "p99": %.1f}\n',
    summary.requests, summary.duration / 1e6, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
