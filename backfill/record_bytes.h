// How much memory a record takes, about: what budgets of bytes are counted in.
#pragma once

#include "model/record.h"

namespace vmproxy::backfill {

uint64_t record_bytes(const model::Record& record);

}  // namespace vmproxy::backfill
