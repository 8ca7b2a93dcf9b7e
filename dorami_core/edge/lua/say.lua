-- ARGV: candidate epoch, then for each event: namespace, room, origin, '1' where it is volatile, payload
local seen = {}
for at = 2, #ARGV, 5 do
    say(ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3] == '1', ARGV[at + 4], ARGV[1])
    if ARGV[at + 3] ~= '1' then seen[ARGV[at]] = true end
end
for namespace, _ in pairs(seen) do trim(namespace) end
