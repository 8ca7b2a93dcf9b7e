-- The last messages of a room, and the place in the room after which nothing is among them.
-- KEYS: history. ARGV: candidate epoch, room, how many
local epoch = epoch_of('/chat', ARGV[1])
return {epoch, seq_of('/chat', ARGV[2]), redis.call('LRANGE', KEYS[1], -tonumber(ARGV[3]), -1)}
