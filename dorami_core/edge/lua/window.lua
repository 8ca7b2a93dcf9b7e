-- What a room's log holds. ARGV: candidate epoch, namespace, room ('*': the rooms of everybody and of single people)
-- Answers epoch, number of the namespace, seq of the room, number of the last event that was trimmed, then for each
-- event: room, number, seq, origin, ms, payload
local namespace, room = ARGV[2], ARGV[3]
local epoch = epoch_of(namespace, ARGV[1])
trim(namespace)
local meta = 'rooms:{' .. namespace .. '}'
local known = redis.call('HMGET', meta, 'number', 'seq ' .. room, 'trimmed')
local answer = {epoch, tonumber(known[1]), tonumber(known[2] or 0), tonumber(known[3])}
for _, entry in ipairs(redis.call('XRANGE', meta .. ':log', '-', '+')) do
    local fields = entry[2]
    local its, number = fields[2], tonumber(fields[4])
    if its == room or (room == '*' and string.sub(its, 1, 1) == '@') then
        answer[#answer + 1] = its
        answer[#answer + 1] = number
        answer[#answer + 1] = tonumber(fields[6])
        answer[#answer + 1] = fields[8]
        answer[#answer + 1] = tonumber(string.match(entry[1], '%d+'))
        answer[#answer + 1] = fields[10]
    end
end
return answer
