// Package notice tells people, content-free, that there is something new in their record: by e-mail or webhook, once a day or soon after, each at a random moment.
//
// The portal asks members' gateways with the person's standing permission, yes or no, and forgets the answer: what stays is when it last asked. A yes becomes a message
// in a durable outbox, which names nobody and says nothing. Gateways that are down keep no other from being asked, and are asked again from where they left off.
//
// # Trusted? What can its thief do?
//
// Contact terms, permission and messages are encrypted, each person's under keys of their own that follow from a file of the portal's and a value beside the
// ciphertext: removing a person's row destroys them. The thief of the store learns how many people want notices, and when messages leave. The thief of store and key
// file reads addresses, and permissions, which are of use to nobody without the TLS key of the portal's gateway. The thief of everything learns yes or no, from
// each gateway, until the permissions end, half a year after the person's last login at the most.
package notice
