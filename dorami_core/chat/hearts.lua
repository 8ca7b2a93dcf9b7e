-- Adds hearts to a room's total, and decides who may say it: one of all processes, at most once an interval.
-- KEYS: hearts (hash: total, said, at). ARGV: 1 hearts to add, 2 now_ms, 3 interval ms, 4 kept s
-- Answers {total, 1} to say it now, {total, 0} to ask again later, {total, 2} where it has been said.
local total = redis.call('HINCRBY', KEYS[1], 'total', ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[4])
local known = redis.call('HMGET', KEYS[1], 'said', 'at')
if tonumber(known[1] or '0') >= total then return {total, 2} end
-- Clocks of several machines differ: one that lies behind must not be silent until it has caught up.
if known[2] and math.abs(tonumber(ARGV[2]) - tonumber(known[2])) < tonumber(ARGV[3]) then return {total, 0} end
redis.call('HSET', KEYS[1], 'said', total, 'at', ARGV[2])
return {total, 1}
