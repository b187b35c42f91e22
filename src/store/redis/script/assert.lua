-- ARGV: jobs and marks. Answers which jobs had been claimed less far, and up to where, if at all: twos.
notice()
local jobs = {}
for place = 3, #ARGV, 2 do
  jobs[#jobs + 1] = ARGV[place]
end
local forgotten = {}
for _, key in ipairs({ 'claims', 'watermarks' }) do
  local kept, new = get_all(key, jobs), {}
  for place = 3, #ARGV, 2 do
    local job, mark = ARGV[place], ARGV[place + 1]
    if not kept[job] then
      know(job)
    end
    if not kept[job] or kept[job] < mark then
      if key == 'claims' and not new[job] then
        forgotten[#forgotten + 1] = job
        forgotten[#forgotten + 1] = kept[job] or ''
      end
      kept[job], new[job] = mark, mark
    end
  end
  put_all(key, new)
end
return forgotten
