-- Takes one message out of the history. KEYS: history, ids. ARGV: id. Answers 1, or 0 for an id that is not known.
if not redis.call('ZSCORE', KEYS[2], ARGV[1]) then return 0 end
for _, text in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
    if cjson.decode(text)['id'] == ARGV[1] then
        redis.call('LREM', KEYS[1], 1, text)
        break
    end
end
return 1
