// Package portal serves the person: login, sessions, the timeline and what follows from it, as pages and as JSON.
//
// # Trusted? What can its thief do?
//
// Sessions live in memory alone: their keys, the people's tokens and what is shown are gone with the process. A thief of the portal's files gets its log
// (leaves, and records of views under keys of their own), and no way to read a history. A thief of the running process reads what the people who are logged in
// at that time can read, for as long as their tokens last, and each reading is on record.
package portal
