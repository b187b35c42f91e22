-- From version 0, which no release has written, to 1: nothing to be changed.
if redis.call('GET', KEYS[1]) == '0' then
  redis.call('SET', KEYS[1], '1')
end
return 1
