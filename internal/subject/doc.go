// Package subject is what the person sees: who asked about them, why, what left, and the proof of it.
//
// At each gateway a [Desk] answers the person's own queries about the member's log. At a portal a [Portal] puts one query to every gateway of the
// federation, live, and merges what provider and consumer each recorded. Nothing of a history is stored: it is in a portal's memory while a page is made.
//
// # Trusted? What can its thief do?
//
// A portal is trusted with what the people who are logged in right now may see, and with nothing else: without a person's token and session key its
// own keys read nothing, and every view leaves a record in its log that the person finds in the history. A gateway is not trusted to be complete:
// what it leaves out, the other side's log shows, and both are public commitments.
package subject
