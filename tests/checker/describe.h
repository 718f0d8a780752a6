// Parts of a history as lines of a history file, for reports.
#pragma once

#include "tests/checker/report.h"

namespace vmproxy::checker {

Shown describe(const History& history, uint32_t key, const Op& op);
// What the scan says about one key.
Shown describe(const History& history, uint32_t key, const ScanRecord& scan);
Shown describe(const History& history, uint32_t key, const FinalRecord& final);
Shown describe(const History& history, uint32_t epoch, uint16_t side, const Reign::Example& example);
// One request of `by`.
Shown describe(const History& history, uint16_t side, std::string_view request, Request::By by);

std::string_view name_of(Kind kind);
std::string_view name_of(Outcome outcome);

}  // namespace vmproxy::checker
