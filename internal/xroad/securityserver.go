package xroad

import "countersign.dev/countersign"

// InvalidSecurityServer is the refusal of a well-formed X-Road-Security-Server that no gateway answers to. message names the remedy.
func InvalidSecurityServer(message string) error {
	return typed(typeInvalidSecurityServer, countersign.Refuse(countersign.CodeBadRequest, "%s", message))
}
