-- ARGV: jobs and marks. Answers whether the server had forgotten, in this life of it, what somebody asserted: 1 or 0.
notice()
local jobs = {}
for place = 3, #ARGV, 2 do
  jobs[#jobs + 1] = ARGV[place]
end
local is_news = false
for _, key in ipairs({ 'claims', 'watermarks' }) do
  local kept, new = get_all(key, jobs), {}
  for place = 3, #ARGV, 2 do
    local job, mark = ARGV[place], ARGV[place + 1]
    if not kept[job] then
      know(job)
    end
    if not kept[job] or kept[job] < mark then
      is_news = is_news or key == 'claims'
      kept[job], new[job] = mark, mark
    end
  end
  put_all(key, new)
end
if is_news then
  call('HSET', 'state', 'forgot', '1')
end
return call('HEXISTS', 'state', 'forgot')
