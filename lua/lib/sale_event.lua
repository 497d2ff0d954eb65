-- sale_event.lua: the events of a sale as a whole, in protobuf's bytes as commit.proto has them. Uses event.

-- One `Event`: a SaleChanged with the settings as they now stand; `said` has ids, reason and actor, `added` its items.
local function sale_changed_event(settings, said, added)
  local change = said .. field(0x1a, settings.title)
    .. struct.pack('<BI8BI8BI8BI8BI8BI4BI8BBBI8BI8', 0x21, settings.start_ms, 0x29, math.max(settings.end_ms, 0),
      0x31, settings.hold_ttl_ms, 0x39, settings.max_hold_ttl_ms, 0x41, settings.buyer_limit,
      0x4d, settings.attempts_per_minute, 0x51, settings.return_window_ms, 0x58, settings.paused,
      0x61, settings.close_ms, 0x69, settings.release_ms)
    .. added
  return field(0x12, field(0x1a, change))
end

-- One `Event`: a StockAdjusted; `asked` has all but what was made of it.
local function stock_adjusted_event(asked, change, total)
  return field(0x12, field(0x22, asked .. struct.pack('<Bi8BI8', 0x59, change, 0x61, total)))
end

-- One `Event`: a SaleLeft, of which all bytes are given.
local function sale_left_event(left)
  return field(0x12, field(0x2a, left))
end
