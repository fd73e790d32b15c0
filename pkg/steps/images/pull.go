// Package images says which images a host's container runtime must hold, pinned against kubelet's garbage collection.
package images

import (
	"github.com/kubewright/kubewright/pkg/bundle"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/steps/layout"
)

// Resources turns images into what the helper pulls from its own mirror.
func Resources(images []layout.Image) []hostapi.Resource {
	resources := make([]hostapi.Resource, 0, len(images))
	for _, image := range images {
		blobs := []hostapi.Descriptor{descriptor(image.Config)}
		for _, layer := range image.Layers {
			blobs = append(blobs, descriptor(layer))
		}
		resources = append(resources, hostapi.Resource{ID: "image/" + image.Component, Image: &hostapi.Image{
			Name: image.Name, Manifest: descriptor(image.Manifest), Blobs: blobs, Pin: true,
		}})
	}
	return resources
}

func descriptor(d bundle.Descriptor) hostapi.Descriptor {
	return hostapi.Descriptor{Digest: d.Digest.String(), Size: d.Size, MediaType: d.MediaType}
}

// Pins keeps the images pinned, and lets go of all others that were pulled for an earlier version.
func Pins(images []layout.Image) hostapi.Resource {
	pins := &hostapi.ImagePins{}
	for _, image := range images {
		pins.Keep = append(pins.Keep, image.Name)
	}
	return hostapi.Resource{ID: "image-pins", ImagePins: pins}
}
