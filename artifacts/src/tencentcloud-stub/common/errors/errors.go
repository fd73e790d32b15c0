// Package errors stands in for the Tencent Cloud SDK's error package; see the common package beside it.
package errors

// TencentCloudSDKError is the error type flannel looks for. Nothing here ever returns one.
type TencentCloudSDKError struct{ Message string }

// Error returns the message.
func (e *TencentCloudSDKError) Error() string { return e.Message }
