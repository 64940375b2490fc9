package web

import (
	"net/http"
	"strings"
)

// Security says how strictly browsers are to treat our pages. The zero value is the strictest: no scripts, forms only to ourselves.
type Security struct {
	// FormTargets are origins that a form's answer may redirect to: identity providers. Browsers count the redirect as the form's target.
	FormTargets []string
	// Scripts lets a page load scripts of our own, and WebAssembly. Pages work without; [Security.AllowScripts] lets one page.
	Scripts bool
	// TLS says that the browser reaches us by TLS, so that it may be told to do so for ever.
	TLS bool
	// Shared says that what is answered is about nobody, so that it may be cached. Pages about a person are never stored.
	Shared bool
}

// Secure sets the headers on every answer of next; next may replace Cache-Control and nothing else of them needs replacing.
func Secure(s Security, next http.Handler) http.Handler {
	policy := s.policy()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), browsing-topics=()")
		if s.TLS {
			h.Set("Strict-Transport-Security", "max-age=63072000; includeSubDomains")
		}
		if !s.Shared {
			h.Set("Cache-Control", "no-store")
		}
		next.ServeHTTP(w, r)
	})
}

// AllowScripts lets the page that is being answered run scripts of our own, and WebAssembly: no other page may.
func (s Security) AllowScripts(w http.ResponseWriter) {
	s.Scripts = true
	w.Header().Set("Content-Security-Policy", s.policy())
}

func (s Security) policy() string {
	forms := "'self'"
	for _, t := range s.FormTargets {
		if !strings.ContainsAny(t, "; ,'") { // an address cannot add a directive
			forms += " " + t
		}
	}
	p := []string{
		"default-src 'none'", "style-src 'self'", "img-src 'self'", "font-src 'self'", "form-action " + forms,
		"frame-ancestors 'none'", "base-uri 'none'",
	}
	if s.Scripts {
		p = append(p, "script-src 'self' 'wasm-unsafe-eval'", "connect-src 'self'")
	}
	return strings.Join(p, "; ")
}
