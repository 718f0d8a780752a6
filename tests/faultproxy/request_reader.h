// RequestReader: finds the requests in the bytes that a client sends on one connection, HTTP/1.1 or HTTP/2 with prior
// knowledge. It only looks: whatever it cannot read is noted as "other" and never held up. No I/O.
#pragma once

#include <memory>
#include <string>

#include "request_log.h"

namespace vmproxy::faultproxy {

class RequestReader {
 public:
  // The log outlives the reader.
  explicit RequestReader(RequestNotes notes);
  ~RequestReader();

  // The next bytes of the connection, in any pieces.
  void feed(std::string_view bytes);

  // One protocol. False: the bytes are not of it, or are damaged; the reader is of no more use.
  class Protocol {
   public:
    virtual ~Protocol() = default;
    virtual bool feed(std::string_view bytes) = 0;
  };

 private:
  void choose();

  RequestNotes notes_;
  std::string
      first_bytes_;  // until the protocol is known: one read, and less than HTTP/2's preface before it
  std::unique_ptr<Protocol> protocol_;
  bool unreadable_ = false;
  uint64_t other_ = 0;
};

}  // namespace vmproxy::faultproxy
