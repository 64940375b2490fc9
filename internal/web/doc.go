// Package web holds what all our pages share: their languages ([Locales]), the files that they load ([Assets]) and the headers under
// which they are shown ([Secure]). The pages themselves are in the packages below it.
package web
