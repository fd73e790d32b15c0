// Package v20170312 stands in for the Tencent Cloud SDK's VPC client; see the common package. Every call fails with
// ErrNotBuiltIn: an offline cluster on machines of one's own has no such cloud to talk to.
package v20170312

import "errors"

// ErrNotBuiltIn is what every call returns.
var ErrNotBuiltIn = errors.New("the tencent-vpc backend is not part of this build of flannel; choose vxlan, host-gw or wireguard")

// Client is the VPC client.
type Client struct{}

// Filter narrows a query.
type Filter struct {
	Name   *string
	Values []*string
}

// Route is one entry of a route table.
type Route struct {
	RouteId              *uint64
	DestinationCidrBlock *string
	GatewayType          *string
	GatewayId            *string
	RouteType            *string
	Enabled              *bool
}

// RouteTable is a table with its routes.
type RouteTable struct {
	RouteTableId *string
	RouteSet     []*Route
}

// DescribeRouteTablesRequest asks for route tables.
type DescribeRouteTablesRequest struct{ Filters []*Filter }

// DescribeRouteTablesResponseParams holds the tables found.
type DescribeRouteTablesResponseParams struct{ RouteTableSet []*RouteTable }

// DescribeRouteTablesResponse answers a DescribeRouteTablesRequest.
type DescribeRouteTablesResponse struct {
	Response *DescribeRouteTablesResponseParams
}

// DeleteRoutesRequest asks for routes to be removed.
type DeleteRoutesRequest struct {
	RouteTableId *string
	Routes       []*Route
}

// DeleteRoutesResponse answers a DeleteRoutesRequest.
type DeleteRoutesResponse struct{}

// CreateRoutesRequest asks for routes to be added.
type CreateRoutesRequest struct {
	RouteTableId *string
	Routes       []*Route
}

// CreateRoutesResponse answers a CreateRoutesRequest.
type CreateRoutesResponse struct{}

// NewClientWithSecretId returns a client whose calls all fail.
func NewClientWithSecretId(_, _, _ string) (*Client, error) { return &Client{}, nil }

// NewDescribeRouteTablesRequest returns an empty request.
func NewDescribeRouteTablesRequest() *DescribeRouteTablesRequest {
	return &DescribeRouteTablesRequest{}
}

// NewDeleteRoutesRequest returns an empty request.
func NewDeleteRoutesRequest() *DeleteRoutesRequest { return &DeleteRoutesRequest{} }

// NewCreateRoutesRequest returns an empty request.
func NewCreateRoutesRequest() *CreateRoutesRequest { return &CreateRoutesRequest{} }

// DescribeRouteTables fails with ErrNotBuiltIn.
func (*Client) DescribeRouteTables(*DescribeRouteTablesRequest) (*DescribeRouteTablesResponse, error) {
	return nil, ErrNotBuiltIn
}

// DeleteRoutes fails with ErrNotBuiltIn.
func (*Client) DeleteRoutes(*DeleteRoutesRequest) (*DeleteRoutesResponse, error) {
	return nil, ErrNotBuiltIn
}

// CreateRoutes fails with ErrNotBuiltIn.
func (*Client) CreateRoutes(*CreateRoutesRequest) (*CreateRoutesResponse, error) {
	return nil, ErrNotBuiltIn
}
