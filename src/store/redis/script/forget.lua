-- KEYS[2]: where the Python service caches its rows. Ours go with the snapshot that they were put with; what the service has
-- written since stays. Whether something stays there. The version stays, so that it does not come again.
local kept = call('HGET', 'snapshot', 'rows')
call('HDEL', 'snapshot', 'bytes', 'rows')
local rows = redis.pcall('GET', KEYS[2])
if type(rows) == 'string' and kept == redis.sha1hex(rows) then
  redis.call('DEL', KEYS[2])
  rows = false
end
return rows and 1 or 0
