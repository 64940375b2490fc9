// Package page holds the portal's pages: for each, a view model, which is a plain struct, and a constructor that renders it as HTML.
//
// A view model says what a person is to read, already in that person's language where the words come from the signed directory (names of
// agencies, laws and purposes); every other word is the locale's. A page decides nothing and fetches nothing: whoever fills the model has
// checked who is looking.
//
// Addresses hold no personal data: whatever a page points at is named by a [Handle], which means something to one session alone, or is
// carried in a form's body.
package page
