using Google.Protobuf;
using TinyMLaaS.Engine.Onnx.Proto;

namespace TinyMLaaS.TestWorker;

/// <summary>A network of a few hundred bytes whose run takes as much memory as asked.</summary>
internal static class HungryNetwork
{
    /// <summary>y = x + sum(n ones), for x of the shape [1,1].</summary>
    public static byte[] Bytes(long ones)
    {
        static ValueInfoProto Value(string name, params long[] shape)
        {
            var tensor = new TypeProto.Types.Tensor { ElemType = 1, Shape = new TensorShapeProto() };
            tensor.Shape.Dim.Add(shape.Select(e => new TensorShapeProto.Types.Dimension { DimValue = e }));
            return new ValueInfoProto { Name = name, Type = new TypeProto { TensorType = tensor } };
        }
        return new ModelProto
        {
            IrVersion = 8,
            OpsetImport = { new OperatorSetIdProto { Version = 17 } },
            Graph = new GraphProto
            {
                Name = "hungry",
                Input = { Value("x", 1, 1) },
                Output = { Value("y", 1, 1) },
                Initializer = { new TensorProto { Name = "shape", DataType = 7, Dims = { 1 }, Int64Data = { ones } } },
                Node =
                {
                    new NodeProto { OpType = "ConstantOfShape", Input = { "shape" }, Output = { "zeros" } },
                    new NodeProto { OpType = "Exp", Input = { "zeros" }, Output = { "ones" } },
                    new NodeProto { OpType = "ReduceSum", Input = { "ones" }, Output = { "sum" } },
                    new NodeProto { OpType = "Add", Input = { "x", "sum" }, Output = { "y" } },
                },
            },
        }.ToByteArray();
    }
}
