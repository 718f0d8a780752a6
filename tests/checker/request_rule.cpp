// The databases saw what the proxy sent: two multisets, compared exactly.
#include <algorithm>

#include "tests/checker/describe.h"
#include "tests/checker/rules.h"

namespace vmproxy::checker {
namespace {

void report(const History& history, uint16_t side, const std::string& request, const RequestCount& count,
            Findings& findings) {
  const bool missing = count.seen < count.sent;
  const Rule rule = missing ? Rule::request_not_seen : Rule::request_not_sent;
  const uint64_t difference = missing ? count.sent - count.seen : count.seen - count.sent - count.maybe_sent;
  if (!findings.found(rule, difference)) return;
  std::string what = history.sides().text_of(side) + ": sent " + std::to_string(count.sent);
  if (count.maybe_sent > 0) what += " and perhaps " + std::to_string(count.maybe_sent) + " more";
  what += ", seen " + std::to_string(count.seen);
  findings.describe(rule, request, std::move(what),
                    {describe(history, side, request, missing ? Request::By::sent : Request::By::seen)});
}

}  // namespace

void check_requests(const History& history, Findings& findings) {
  for (const auto& [side, requests] : history.requests()) {
    findings.checked(Rule::request_not_seen, requests.size());
    findings.checked(Rule::request_not_sent, requests.size());
    std::vector<const History::Requests::mapped_type::value_type*> different;
    for (const auto& entry : requests) {
      const RequestCount& count = entry.second;
      if (count.seen < count.sent || count.seen > count.sent + count.maybe_sent) different.push_back(&entry);
    }
    std::sort(different.begin(), different.end(), [](auto* a, auto* b) { return a->first < b->first; });
    for (const auto* entry : different) report(history, side, entry->first, entry->second, findings);
  }
}

}  // namespace vmproxy::checker
