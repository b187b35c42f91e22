-- KEYS[2]: where the Python service caches its rows. ARGV: the most bytes. How many there are, and the rows, if they are not
-- those that were put with the snapshot.
local size = redis.call('STRLEN', KEYS[2])
if size > tonumber(ARGV[1]) then
  return { size }
end
local rows = redis.call('GET', KEYS[2])
local kept = redis.call('HGET', string.sub(KEYS[1], 1, -8) .. 'snapshot', 'rows')
return { size, rows and kept ~= redis.sha1hex(rows) and rows }
