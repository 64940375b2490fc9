// Package monitor reads logs as anyone may, keeps a mirror of each, and tells what does not hold: records that one side of an exchange lacks,
// heads that contradict each other, leaves that changed or went, promises that were not kept, clocks of cosigning that stand still. It sees no
// person: leaves name none.
//
// # Trusted? What can its thief do?
//
// A monitor holds nothing secret but, where it reads the party view, a TLS key of a member. Its mirror is public data; whoever changes it makes
// the monitor complain about itself, because every mirror is held against the log's own signature when it is opened.
package monitor
