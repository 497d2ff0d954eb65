#!lua flags=no-writes
--[[ read.lua: read some reservations of a sale, or the sale.
KEYS   1 meta (hash)  2 outbox (stream)  3 due (zset)
       then of the sale  sale, reservations (hashes), expiry (zset), buyers (hash)
ARGV   1 observed  2 latest  3 and further: ids of at most 128 reservations; '' for the sale
Reply  {now, epoch, seq, settled epoch, settled seq, result of the sale, or one result a reservation}
       FOUND, record or sale   as it stands
       OVERDUE, record         a hold whose end has come, EXPIRED here, or that was released, RELEASED here, and that was
                               not taken back yet
       NO_SALE / NO_RECORD     there is none
Keeps  everything as it is: reads only.
Uses   clock shard record sale settings sale_reply ]]

local FIRST = 3 -- where ids begin in ARGV

local shard, not_serving = open_shard()
if not_serving then return not_serving end

local function read_reservation(sale, id)
  if not sale.settings then return {'NO_SALE'} end
  local record = record_of(sale, id)
  if not record or is_unknown(record) then return {'NO_RECORD'} end
  local is_stored = effective(shard, sale, record) == record[STATE]
  return record_reply(shard, sale, is_stored and 'FOUND' or 'OVERDUE', record)
end

local function read_reservations(sale)
  local ids, results = {unpack(ARGV, FIRST)}, {}
  assert(#ids <= 128, 'more than one call may carry')
  load_records(sale, ids)
  for at, id in ipairs(ids) do results[at] = read_reservation(sale, id) end
  return results
end

local sale = open_sale(shard, 1)
load_settings(sale, {})
if ARGV[FIRST] ~= '' then return reply_of(shard, read_reservations(sale)) end
return reply_of(shard, sale.settings and sale_reply('FOUND', sale) or {'NO_SALE'})
