// A scenario: what may happen in one search. Small ones, each searched to its end, say more than a large one that is
// cut.
#pragma once

#include <string>

namespace vmproxy::model_check {

struct Scenario {
  std::string name;
  // What clients may write, any of them in any order: i d m: image, delete, merge of key a; k: an image that a delete
  // by filter hits, also as the second write; j e: image and delete of key b; B: both keys in one batch; p: delete by
  // filter (odd values). x: the collection is dropped and made again. Upper case P: the filter's records are deleted
  // one at a time.
  std::string kinds = "i";
  int writes = 2;                // at most so many
  int at_once = 2;               // in flight
  int keys = 1;                  // that exist
  int lost = 0;                  // answers of the replica that may be lost
  int crashes = 0;               // kill -9
  int flips = 0;                 // changes of the primary
  int deaths = 0;                // of the primary, which end in a forced change
  bool copy = false;             // the replica begins empty, and one page is copied
  bool empty = false;            // the primary begins empty
  bool foreign = false;          // a write from before the barrier may still be executed
  bool certain = false;          // no write's answer is lost
  bool certain_filters = false;  // ... of a delete by filter
  bool half_windows = false;     // time may move by half a window
  bool quick_replica = false;    // an attempt on it ends within half a window
  bool gone = false;             // clients may go away between the intent and the first byte
  bool slow = false;             // time may pass while a write is in flight
  bool stale = false;            // a read of the source may show what was there before the last change
  bool unbounded = false;        // nothing bounds how late the source may execute what it did not answer
};

}  // namespace vmproxy::model_check
