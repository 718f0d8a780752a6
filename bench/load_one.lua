-- One and the same upsert again and again: wrk -s load_one.lua URL -- PATH RECORDS. wrk sends it without a call of Lua for
-- each, so that the load's core has room to show what a proxy can do. Records as in load.lua.
dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "load.lua")
local make, made = init, request
request = nil  -- its absence is what tells wrk that all requests are the same

function init(args)
  make({ args[1], 1, args[2], "usual", 0 })
  wrk.method, wrk.path = "POST", args[1]
  wrk.headers["Content-Type"] = "application/json"
  wrk.body = made():match("\r\n\r\n(.*)$")
end
