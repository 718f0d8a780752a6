// ValidationRequest: the comparison that was asked for last, as one durable row: while it has no answer, a restart makes it.
#pragma once

#include "base/error.h"
#include "cutover/control.h"
#include "journal/journal.h"

namespace vmproxy::cutover {

struct ValidationRequest {
  uint64_t number =
      0;  // never given twice: who waits for the answer knows his own by it. 0: none was asked for
  bool open = false;  // not answered yet
  ValidateOptions options;
};

// Code::corrupt / unsupported when the row cannot be understood.
Result<ValidationRequest> load_validation_request(journal::Journal& journal);
journal::Row row_of(const ValidationRequest& request);

}  // namespace vmproxy::cutover
