-- clock.lua: the time of the Redis process. The contract tests replace what it does by a clock that they set.

local function wall_time_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
