#include "base/workers.h"

#include <system_error>
#include <thread>
#include <vector>

#include "base/log.h"

namespace vmproxy {

void run_workers(size_t count, const std::function<void(size_t worker)>& work) {
  if (count == 0) return;
  std::vector<std::jthread> others;  // joined however this ends
  try {
    others.reserve(count - 1);
    for (size_t worker = 1; worker < count; ++worker) others.emplace_back([&work, worker] { work(worker); });
  } catch (const std::system_error& refused) {
    log::warn("fewer threads than wanted could be started; the work takes longer",
              {{"error", refused.what()}, {"wanted", count}, {"started", others.size() + 1}});
  }
  work(0);
}

}  // namespace vmproxy
