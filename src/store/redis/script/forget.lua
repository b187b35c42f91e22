-- The version stays, so that it does not come again.
call('HDEL', 'snapshot', 'bytes')
return 1
