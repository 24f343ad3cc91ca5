"""gRPC's own Python library as a client of the store's back office, with the messages of store.proto.
Run by Debian's Python, which has the packages.

    store_peer.py PROTOSET HOST:PORT TOKEN

It adds a product, sets its stock, lists the orders, and prints each answer.
"""

import sys

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

POOL = descriptor_pool.DescriptorPool()
with open(sys.argv[1], "rb") as protoset:
    for proto in descriptor_pb2.FileDescriptorSet.FromString(protoset.read()).file:
        POOL.Add(proto)


def message(name):
    descriptor = POOL.FindMessageTypeByName("store.v1." + name)
    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(descriptor)
    return message_factory.MessageFactory(POOL).GetPrototype(descriptor)


def call(kind, name, request, response):
    return kind(
        "/store.v1.BackOffice/" + name,
        request_serializer=lambda value: value.SerializeToString(),
        response_deserializer=message(response).FromString,
    )(message(request[0])(**request[1]), metadata=METADATA, timeout=60)


def show(value):
    print({field.name: field_value for field, field_value in value.ListFields()})


METADATA = [("authorization", "Bearer " + sys.argv[3])]
with grpc.insecure_channel(sys.argv[2]) as channel:
    product = {"name": "käse", "price": 1 << 29, "stock": 3}
    show(call(channel.unary_unary, "AddProduct", ("AddProductRequest", product), "Product"))
    stock = {"id": 1, "stock": 1000}
    show(call(channel.unary_unary, "SetStock", ("SetStockRequest", stock), "Product"))
    for order in call(channel.unary_stream, "ListOrders", ("ListOrdersRequest", {}), "Order"):
        show(order)
