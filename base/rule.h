// A rule of correctness.md that can be taken away, so that tests/model can show what then goes wrong. Only tests/model
// compiles with VMPROXY_RULES, in copies of its own of the files that name rules; everywhere else a rule is the word
// true.
#pragma once

#ifdef VMPROXY_RULES
namespace vmproxy {
bool rule_stands(const char* name);  // false while the model has it taken away
}
#define VMPROXY_RULE(name) ::vmproxy::rule_stands(name)
#else
#define VMPROXY_RULE(name) true
#endif
