// Package ceremony is how the governing bodies change the directory together: one of them proposes, each sees in words what would change and signs on
// its own machine with its own key, and what the threshold has signed is published. Nobody alone changes anything (A46, A47).
//
// The staged folder is self-contained: it holds the proposal and the published state that it changes, so that a body can carry a copy to its own
// machine, judge and sign it there, and bring its signature back with [Merge].
package ceremony
