// Command generate writes gen/ from the project's .proto files, without protoc: run `go generate ./...`.
package main

//go:generate go run .

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/linker"
	"github.com/bufbuild/protocompile/protoutil"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

// packages says which Go package each .proto becomes, below gen/.
var packages = map[string]string{
	"echo/v1/echo.proto":             "echov1",
	"filelister/v1/filelister.proto": "filelisterv1",
	"goplugin/goplugin.proto":        "goplugin",
	"hostserve/v1/hostserve.proto":   "hostservev1",
}

const (
	protoRoot = "../../../../proto"
	module    = "muxplug/interop"
)

func main() {
	compiler := protocompile.Compiler{
		Resolver: protocompile.WithStandardImports(
			&protocompile.SourceResolver{ImportPaths: []string{protoRoot}},
		),
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	for path, name := range packages {
		files, err := compiler.Compile(context.Background(), path)
		if err != nil {
			log.Fatal(err)
		}
		for _, generator := range []string{"protoc-gen-go", "protoc-gen-go-grpc"} {
			if err := generate(generator, files[0], module+"/gen/"+name); err != nil {
				log.Fatalf("%s of %s: %v", generator, path, err)
			}
		}
	}
}

// generate does what protoc does: hands the compiled file to a generator, and writes what comes back.
func generate(generator string, file linker.File, goPackage string) error {
	var all []*descriptorpb.FileDescriptorProto // what is imported comes before what imports it
	for i := range file.Imports().Len() {
		all = append(all, protoutil.ProtoFromFileDescriptor(file.Imports().Get(i)))
	}
	request, err := proto.Marshal(&pluginpb.CodeGeneratorRequest{
		FileToGenerate: []string{file.Path()},
		Parameter:      proto.String(fmt.Sprintf("module=%s,M%s=%s", module, file.Path(), goPackage)),
		ProtoFile:      append(all, protoutil.ProtoFromFileDescriptor(file)),
	})
	if err != nil {
		return err
	}
	tool := exec.Command("go", "tool", generator)
	tool.Stdin, tool.Stderr = bytes.NewReader(request), os.Stderr
	output, err := tool.Output()
	if err != nil {
		return err
	}
	var response pluginpb.CodeGeneratorResponse
	if err := proto.Unmarshal(output, &response); err != nil {
		return err
	}
	if response.Error != nil {
		return errors.New(response.GetError())
	}
	for _, out := range response.File {
		path := filepath.Join("..", out.GetName())
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(out.GetContent()), 0o644); err != nil {
			return err
		}
	}
	return nil
}
