#!lua flags=no-writes
--[[ read.lua: read one reservation, or a sale.
KEYS   1 meta (hash)  2 outbox (stream)  3 due (zset)
       then of the sale  sale, reservations (hashes), expiry (zset), buyers (hash)
ARGV   1 observed  2 latest  3 id of the reservation; '' for the sale
Reply  {now, epoch, seq, settled epoch, settled seq, result}
       FOUND, record or sale   a hold whose end has come is EXPIRED, and a released one RELEASED, whether or
                               not it was taken back yet
       NO_SALE / NO_RECORD     there is none
Keeps  everything as it is: reads only.
Uses   clock shard record sale settings sale_reply ]]

local shard, not_serving = open_shard()
if not_serving then return not_serving end

local function read_reservation(sale, id)
  load_records(sale, {id})
  local record = sale.records[id]
  if not record or is_unknown(record) then return {'NO_RECORD'} end
  return record_reply(shard, sale, 'FOUND', record)
end

local sale = open_sale(shard, 1)
load_settings(sale, {})
if not sale.settings then return reply_of(shard, {'NO_SALE'}) end
if ARGV[3] == '' then return reply_of(shard, sale_reply('FOUND', sale)) end
return reply_of(shard, read_reservation(sale, ARGV[3]))
